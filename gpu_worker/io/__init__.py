"""What a node fetches and stores: versions and inputs before a run, checked outputs after it.

Threads beside the agent's main thread do this work, so that no slot waits for a disk or for the object store.
"""
