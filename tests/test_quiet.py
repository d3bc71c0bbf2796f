import gc
import logging
import weakref

import pytest
import tensorflow as tf

from rbm_tf.quiet import quiet_start


def test_traced_graphs_and_tf_keras_are_not_reported_and_other_warnings_are(caplog):
    square = tf.function(lambda number: tf.square(float(number)))
    values = [float(square(number)) for number in range(8)]  # each number makes a graph
    for message in ("From .../tf_keras/src/losses.py:1: This is deprecated.", "something else"):
        logging.getLogger("tensorflow").warning(message)
    assert values == [0, 1, 4, 9, 16, 25, 36, 49]
    assert caplog.messages == ["something else"]


@pytest.mark.long
def test_a_second_start_leaves_garbage_of_users_to_the_collector():
    class Node:
        def __init__(self):
            self.self = self

    seen = weakref.ref(Node())
    quiet_start()
    gc.collect()
    assert seen() is None
