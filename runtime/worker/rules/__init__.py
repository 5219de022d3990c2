"""What the rules of every kind of node are made of. Pure: no I/O, no clock, no threads. Imports `contract` only."""
