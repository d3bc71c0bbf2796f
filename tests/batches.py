"""A list of batches as a `keras.utils.PyDataset`."""

import keras


class Batches(keras.utils.PyDataset):
    def __init__(self, elements):
        super().__init__()
        self.elements = elements

    def __len__(self):
        return len(self.elements)

    def __getitem__(self, index):
        return self.elements[index]
