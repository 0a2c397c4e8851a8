"""The commands: one file each, nothing heavy imported until a command runs."""
