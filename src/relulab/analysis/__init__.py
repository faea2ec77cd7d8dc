"""From runs to tables: rates, survival, other labels, tables as text. It sees tables only."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
