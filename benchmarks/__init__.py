"""Speed, memory and equality of kerascli beside its peers: `python -m benchmarks --help`."""
