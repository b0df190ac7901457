"""A commented layer file from what a file or a table holds."""

from tileserver.infer.files import is_file, new_from_file
from tileserver.infer.layer_files import Made
from tileserver.infer.tables import new_from_table
from tileserver.infer.text import plain

__all__ = ["Made", "is_file", "new_from_file", "new_from_table", "plain"]
