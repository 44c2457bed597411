"""What Alembic runs: the revisions on the connection it is given, for one part of a book (§6)."""

from alembic import context

connection = context.config.attributes["connection"]
# The caller began the transaction: all revisions become true together, or none does.
context.configure(connection=connection, transactional_ddl=True)
context.run_migrations(part=context.config.attributes["part"])
