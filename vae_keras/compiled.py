"""Functions of tensors that run as one graph where the backend keeps variables live in it."""

import keras


def compiled(function, *inputs):
    """The function as one TensorFlow graph for all lengths; on other backends the function itself.

    A graph runs its operations without Python in between. JAX would freeze the values that the
    variables have when it compiles, so there, as on PyTorch, nothing is compiled.

    Args:
        function: of nested tensors, without side effects.
        *inputs: nested `keras.KerasTensor` for each argument, with None for lengths that vary.

    Returns:
        A function with the same values.

    Example:
        >>> square = compiled(ops.square, keras.KerasTensor((None,)))
        >>> float(square(ops.ones((5,)))[0])
        1.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    signature = keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), inputs)
    return tf.function(function, input_signature=signature, jit_compile=False)
