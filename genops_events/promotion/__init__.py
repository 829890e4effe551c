"""Choose a dataset's champion, ask a person, update the model registry, roll back, and delete models that are not needed any more."""
