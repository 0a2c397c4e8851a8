"""Tables and columns: in memory, memory-mapped, or read lazily from files."""
