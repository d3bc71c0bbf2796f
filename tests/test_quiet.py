import logging

import tensorflow as tf


def test_graphs_traced_often_are_not_reported_and_other_warnings_are(caplog):
    square = tf.function(lambda number: tf.square(float(number)))
    values = [float(square(number)) for number in range(8)]  # each number makes a graph
    logging.getLogger("tensorflow").warning("something else")
    assert values == [0, 1, 4, 9, 16, 25, 36, 49]
    assert caplog.messages == ["something else"]
