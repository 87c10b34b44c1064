"""bertline keeps a BERT text classifier fresh: the packages behind the stages of dvc.yaml."""
