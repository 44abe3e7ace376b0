"""Train one network: the recipe, the loop, and its compiled step for each Keras backend."""
