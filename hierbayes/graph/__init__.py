"""PyMC models: what every model of ours means."""

from hierbayes.graph.build import PARAMETERIZATIONS, build_graph, build_joint_graph

__all__ = ["PARAMETERIZATIONS", "build_graph", "build_joint_graph"]
