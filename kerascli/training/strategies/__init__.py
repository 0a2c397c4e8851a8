"""Strategies of training on one or several processes (data parallel, FSDP), and the communication that they use."""
