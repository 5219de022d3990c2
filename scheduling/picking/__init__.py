"""What `plan` asks before it dispatches: who may go, where there is room, and what a switch or a gang would cost.

Read-only: these functions read `scheduling.state` and return choices. Only events change a state.
"""
