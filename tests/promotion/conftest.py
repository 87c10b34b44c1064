from toy_project import *  # noqa: F403 - fixtures
