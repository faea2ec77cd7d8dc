from . import relabeling, statistics, tables

__all__ = ["relabeling", "statistics", "tables"]
