"""Other tools' label files <-> a data set.

`import_labels` reads what CVAT, LabelMe, COCO and others wrote; `export_labels` writes for them.
"""

from dashseg.formats.exporting import Exported, export_labels
from dashseg.formats.importing import Imported, import_labels
from dashseg.formats.table import READERS, WRITERS

__all__ = ["READERS", "WRITERS", "Exported", "Imported", "export_labels", "import_labels"]
