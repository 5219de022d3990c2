"""Faults at random on a real stack, under load: `python -m tests.system.faults --jobs 300 --kills 15 --seed 1`.

One seeded generator decides what happens when (`timetable`); the machine's own timing stays random. Three things happen
side by side: processes are killed, processes stand still for longer than a lease, and servers are away while operators
and strangers speak (`means`). Jobs come over HTTP and over Kafka all the while (`load`). At the end a verdict of many
parts (`verdict`), which reads the ledger, the store, the disk and the process table itself.
"""
