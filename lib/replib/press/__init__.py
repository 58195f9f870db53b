"""The machinery that turns text notebooks into records and a site. No chapter imports it."""
