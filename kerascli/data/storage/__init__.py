"""Tables and columns: in memory, mapped, or read from files when they are asked for."""
