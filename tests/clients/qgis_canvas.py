"""Draws layers with QGIS, without a screen. Run by the Python that QGIS is installed for; speaks JSON on stdin and stdout.

Given: `layers`, each with `kind` (vector tiles, or a data provider's key) and `uri`; `extent` in EPSG:3857; `size`; `picture`.
Told: of each layer whether it is valid, its error, the number of its features where it has a number, and its style's rules.
"""

import json
import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # Qt reads it when it is imported

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
    QgsVectorTileLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def opened(wanted):
    if wanted["kind"] == "vector tiles":
        layer = QgsVectorTileLayer(wanted["uri"], "tiles")
        _, styled = layer.loadDefaultStyle() if layer.isValid() else ("", False)
        return layer, {"styled": styled, "rules": len(layer.renderer().styles()) if styled else 0}
    layer = QgsVectorLayer(wanted["uri"], "rows", wanted["kind"])
    features = list(layer.getFeatures()) if layer.isValid() else []
    return layer, {"features": len(features)}


def draw(layers, wanted):
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    settings.setExtent(QgsRectangle(*wanted["extent"]))
    settings.setOutputSize(QSize(*wanted["size"]))
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(wanted["picture"])
    return [error.message for error in job.errors()]


def main():
    wanted = json.load(sys.stdin)
    application = QgsApplication([], False)
    application.initQgis()
    pairs = [opened(each) for each in wanted["layers"]]
    layers = [layer for layer, _ in pairs]
    QgsProject.instance().addMapLayers(layers)
    told = [{"valid": layer.isValid(), "error": layer.error().message(), **more} for layer, more in pairs]
    errors = draw(list(reversed(layers)), wanted)
    json.dump({"layers": told, "errors": errors}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # QGIS ends itself untidily without its event loop


main()
