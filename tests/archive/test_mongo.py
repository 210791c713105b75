"""What MongoDB has confirmed is there after it was killed: sinks acknowledge on its word."""

from __future__ import annotations

from pathlib import Path

from boom_streams import services
from boom_streams.archive import mongo
from boom_streams.settings import load_settings

TIMES = 200


def test_confirmed_writes_survive_a_kill(tmp_path: Path) -> None:
    endpoints = services.start(tmp_path, "mongod")
    try:
        settings = load_settings(mongo_uri=endpoints.mongo_uri, mongo_db="durable", data_dir=tmp_path)
        collection = mongo.database(settings)["alerts"]
        for number in range(TIMES):
            collection.insert_many([{"_id": 10 * number + n} for n in range(10)])
        services.stop(tmp_path, "mongod", kill=True)
        services.start(tmp_path, "mongod")
        assert collection.count_documents({}) == 10 * TIMES
    finally:
        mongo.client(settings).close()
        services.stop(tmp_path, kill=True)
