"""What the two command lines share, and the kinds of units on that of RBMs."""
