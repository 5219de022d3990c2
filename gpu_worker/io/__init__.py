"""What a node fetches and stores: versions and inputs before a run, checked outputs after it.

All of it runs beside the agent's main thread, so that no slot waits for a disk or for the object store.
"""
