"""xaiprune: hyperparameter optimisation for attribution-guided pruning.

In one call, a network that is half as large, from a few labelled images:

    import xaiprune as xp

    model = xp.load_model("resnet18", checkpoint="resnet18.safetensors")  # or any classifier of your own
    data = xp.load_data("image_folder", model, root="photographs")  # or a DataLoader of your own
    outcome = xp.prune(model, data, rate=0.4, units="inner_filters", compensate="linear", order="joint")
    print(outcome)

Step by step:

    units = xp.find_units(model, "inner_filters")
    images, labels = data.reference.tensor(), data.reference.labels
    relevance = xp.attribute(model, images, labels, units, xp.Composite(xp.Gamma(0.25)), task=data.task)
    plan = xp.make_plan(xp.aggregate(relevance), units, rate=0.4)
    small = xp.remove(model, plan, units)
    print(xp.accuracy(small, data.test, data.task), xp.cost(small, images[:1]))

``__init__.pyi`` lists the names. They are loaded when they are first used, so that the import is quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
