"""From runs to tables: rates, survival, relabeling, tables as text. It uses tables only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
