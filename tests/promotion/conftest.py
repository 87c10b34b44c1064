"""The toy project, as fixtures."""

from tests.support.toy_answers import toy_answers  # noqa: F401 - a fixture
from tests.support.toy_project import environment, fresh, project, reproduced_template, retrained, template  # noqa: F401 - fixtures
