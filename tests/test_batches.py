import gc
import weakref

import tensorflow as tf

from rbm_tf.shared.batches import gathered_batches


def test_batches_free_their_data_without_waiting_for_the_garbage_collector():
    x = tf.random.uniform((10, 2))
    data = weakref.ref(x)
    batches = gathered_batches((x,), 5, rows=tf.range(10))
    assert len(list(batches)) == 2
    gc.disable()
    try:
        del x, batches
        assert data() is None
    finally:
        gc.enable()
