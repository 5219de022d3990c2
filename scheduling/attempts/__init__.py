"""What becomes of one attempt: the orders that follow from it, the reports that count, its retry and its end.

Nothing here chooses which job goes next (`scheduling.picking` does) and nothing changes a state (`evolve` does).
"""
