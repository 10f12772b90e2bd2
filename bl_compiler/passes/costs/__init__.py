"""What evaluating a graph is predicted to take, in operations, memory traffic and seconds.

Start with `totals` (`nodes_cost`, `graph_cost`, `step_cost`) and `rates` (`seconds`).
"""
