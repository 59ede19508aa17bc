"""Pictures of models and fits; each module draws one kind."""
