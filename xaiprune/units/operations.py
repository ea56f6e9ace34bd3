"""What PyTorch's functions do to the units that they read, by `xaiprune.tracing.plain_name`."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LINEAR = _names("linear addmm")
WEIGHTED = LINEAR | _names("conv1d conv2d")
# Elementwise functions that keep zero at zero, and those that turn it into another constant.
ZERO_KEEPING = _names(
    "relu relu6 gelu silu mish hardswish leaky_relu elu selu celu tanh prelu hardtanh softsign neg abs pow "
    "square sqrt dropout dropout1d dropout2d feature_dropout alpha_dropout contiguous clone detach identity "
    "float half bfloat16 double to type type_as"
)
ZERO_MOVING = _names("sigmoid hardsigmoid softplus exp cos clamp clamp_min clamp_max")
# Over space, per channel. Averages and maxima of a constant are that constant (without padding).
SPATIAL = _names(
    "max_pool2d max_pool2d_with_indices boolean_dispatch avg_pool2d adaptive_avg_pool2d "
    "adaptive_max_pool2d adaptive_max_pool2d_with_indices lp_pool2d interpolate mean amax"
)
CONCATENATION = _names("cat concat concatenate")
MOVEMENT = CONCATENATION | _names(
    "view view_as reshape reshape_as flatten unflatten permute transpose swapaxes movedim unsqueeze squeeze "
    "expand expand_as repeat chunk split tensor_split unbind getitem narrow select stack roll pad"
)
ADD = _names("add sub rsub")
SCALE = _names("mul div true_divide")
# Only the shape of what they read matters.
FRESH = _names("ones_like zeros_like empty_like full_like new_zeros new_ones new_empty")
# Normalisations over the units.
CHANNEL_MIXING = _names("layer_norm group_norm rms_norm instance_norm normalize softmax log_softmax")
