#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "master/ctl/advise/scan.h"
#include "tests/unit/arena_fixture.h"

#define OF_POSTS "'Schema':'app','Relation Name':'posts','Alias':'p','Plan Rows':15,"
#define SEQ_SCAN "{'Node Type':'Seq Scan'," OF_POSTS "'Filter':'(p.user_id = $1)'}"

/* Of JSON whose quotes are ', which is easier to read here. */
static struct scans read_plan(const char *node)
{
    struct scans scans;
    char *plan = arena_printf(arena, "[{'Plan':%s}]", node);
    for (char *at = plan; (at = strchr(at, '\'')) != NULL;)
        *at = '"';
    assert_true(scans_in_plan(plan, arena, &scans));
    return scans;
}

static void has_none(const char *node)
{
    if (read_plan(node).count != 0)
        fail_msg("%s", node);
}

static void a_scan_of_all_that_throws_rows_away(void **state)
{
    (void)state;
    struct scans scans = read_plan(
        "{'Node Type':'Limit','Total Cost':812.5,'Plans':[{'Node Type':'Sort','Sort Key':['p.at DESC','p.id'],"
        "'Plans':[" SEQ_SCAN "]}]}");
    assert_int_equal(scans.count, 1);
    assert_true(scans.cost == 812.5);
    const struct scan *scan = &scans.list[0];
    assert_string_equal(scan->schema, "app");
    assert_string_equal(scan->table, "posts");
    assert_string_equal(scan->alias, "p");
    assert_string_equal(scan->filter, "(p.user_id = $1)");
    assert_true(scan->rows == 15 && scan->sequential);
    assert_int_equal(scan->sort_key_count, 2);
    assert_string_equal(scan->sort_keys[0], "p.at DESC");
    assert_string_equal(scan->sort_keys[1], "p.id");
}

static void scans_of_several_tables_in_their_order(void **state)
{
    (void)state;
    struct scans scans =
        read_plan("{'Node Type':'Nested Loop','Plans':[{'Node Type':'Sort','Sort Key':['u.id'],'Plans':["
                  "{'Node Type':'Seq Scan','Schema':'app','Relation Name':'users','Alias':'u',"
                  "'Filter':'(u.age > $1)'}]}," SEQ_SCAN "]}");
    assert_int_equal(scans.count, 2);
    assert_string_equal(scans.list[0].table, "users");
    assert_int_equal(scans.list[0].sort_key_count, 1);
    assert_string_equal(scans.list[1].table, "posts");
    assert_int_equal(scans.list[1].sort_key_count, 0);
}

static void along_an_index_for_its_order_alone(void **state)
{
    (void)state;
    struct scans scans = read_plan("{'Node Type':'Index Scan'," OF_POSTS "'Filter':'(p.user_id = $1)'}");
    assert_int_equal(scans.count, 1);
    assert_false(scans.list[0].sequential);
    has_none("{'Node Type':'Index Scan'," OF_POSTS "'Index Cond':'(p.id = $2)','Filter':'(p.user_id = $1)'}");
}

#define ALL_OF_POSTS "{'Node Type':'Seq Scan'," OF_POSTS "'Output':['p.id']}"

/* Without a filter it is the join that takes few of its rows. */
static void one_side_of_a_join(void **state)
{
    (void)state;
    struct scans scans = read_plan("{'Node Type':'Hash Join','Hash Cond':'(p.user_id = u.id)','Plans':[" ALL_OF_POSTS
                                   ",{'Node Type':'Hash','Plans':[" SEQ_SCAN "]}]}");
    assert_int_equal(scans.count, 2);
    assert_string_equal(scans.list[0].join, "(p.user_id = u.id)");
    assert_string_equal(scans.list[0].filter, "");
    assert_string_equal(scans.list[1].join, "(p.user_id = u.id)");
    scans = read_plan("{'Node Type':'Hash Join','Hash Cond':'(p.user_id = u.id)','Plans':[{'Node Type':'Aggregate',"
                      "'Plans':[" ALL_OF_POSTS "," SEQ_SCAN "]}]}");
    assert_int_equal(scans.count, 1);
    assert_string_equal(scans.list[0].join, "");
}

static void all_rows_to_sort_them(void **state)
{
    (void)state;
    struct scans scans = read_plan("{'Node Type':'Sort','Sort Key':['p.at'],'Plans':[" ALL_OF_POSTS "]}");
    assert_int_equal(scans.count, 1);
    assert_string_equal(scans.list[0].filter, "");
    assert_int_equal(scans.list[0].sort_key_count, 1);
}

/* What a bitmap has found is few already. */
static void what_reads_not_all_of_a_table(void **state)
{
    (void)state;
    has_none("{'Node Type':'Bitmap Heap Scan'," OF_POSTS "'Recheck Cond':'(p.id = $2)','Filter':'(p.user_id = $1)',"
             "'Plans':[{'Node Type':'Bitmap Index Scan','Index Name':'i','Index Cond':'(p.id = $2)'}]}");
    has_none("{'Node Type':'Sample Scan'," OF_POSTS "'Filter':'(p.user_id = $1)'}");
    has_none("{'Node Type':'CTE Scan','CTE Name':'c','Alias':'p','Filter':'(p.user_id = $1)'}");
    has_none(ALL_OF_POSTS);
    has_none("{'Node Type':7,'Filter':[],'Plans':{}}");
}

static void what_is_no_plan(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "[{}]", "{", "[{\"Plan\":", "[\"Utility Statement\"]", "null"};
    struct scans scans;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(scans_in_plan(texts[i], arena, &scans));
}

static void more_scans_than_anybody_reads(void **state)
{
    (void)state;
    const char *list = SEQ_SCAN;
    for (int i = 0; i < 100; i++)
        list = arena_printf(arena, "%s,%s", list, SEQ_SCAN);
    assert_in_range(read_plan(arena_printf(arena, "{'Node Type':'Append','Plans':[%s]}", list)).count, 10, 101);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(a_scan_of_all_that_throws_rows_away),
        with_arena(scans_of_several_tables_in_their_order),
        with_arena(along_an_index_for_its_order_alone),
        with_arena(one_side_of_a_join),
        with_arena(all_rows_to_sort_them),
        with_arena(what_reads_not_all_of_a_table),
        with_arena(what_is_no_plan),
        with_arena(more_scans_than_anybody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
