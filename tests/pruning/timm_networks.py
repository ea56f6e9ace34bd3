TIMM = {}
KINDS = ("inner_filters", "neurons", "heads")
