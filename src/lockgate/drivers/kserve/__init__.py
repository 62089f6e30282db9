"""How does traffic in a cluster follow what may serve? By routes of the Gateway API, and the stop of KServe.

with open_gateway(place) as routes:          # port `Gateway`, as far as a cluster can keep it (decision 0031)
    routes.show([traffic], fence=1)
"""

from lockgate.drivers.kserve.api import Cluster
from lockgate.drivers.kserve.route_form import Place
from lockgate.drivers.kserve.routes import Drift, Routes, open_gateway

__all__ = ["Cluster", "Drift", "Place", "Routes", "open_gateway"]
