"""What every other package may use: errors, events, signals, shapes, random numbers, devices and the disk."""
