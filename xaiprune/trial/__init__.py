"""One trial: objectives, measurements, racing, and the cache of scores.

``__init__.pyi`` lists the names. They are loaded when they are first used: reading a study needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
