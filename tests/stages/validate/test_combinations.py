import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bertline.stages.validate.combinations import Combinations

SCHEMA = pa.schema({"flag": pa.bool_(), "count": pa.int32(), "share": pa.float64()})
ROW = st.tuples(
    st.sampled_from([None, True, False]), st.sampled_from([None, 0, 1, 7]), st.sampled_from([None, 0.0, 0.5])
)


@settings(deadline=None)
@given(st.lists(st.lists(ROW, max_size=20), max_size=5))
def test_each_row_is_the_distinct_row_of_its_code(tables):
    combinations = Combinations(SCHEMA)
    for table in tables:
        columns = list(zip(*table, strict=True)) or [[], [], []]
        combinations.add(
            pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
        )
    rows = [row for table in tables for row in table]
    distinct = [tuple(row.values()) for row in combinations.distinct().to_pylist()]
    assert [distinct[code] for code in combinations.codes()] == rows
    assert len(set(distinct)) == len(distinct)
