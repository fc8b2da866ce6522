#include "client/omctl/table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace om {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCellAndNoLineEndsInSpaces) {
  TextTable table;
  table.AddRow({"a", "bb", "c"});
  table.AddRow({"aaaa", "", ""});
  table.AddRow({"", "", "cc"});
  EXPECT_EQ(table.Render(false),
            "a     bb  c\n"
            "aaaa\n"
            "          cc\n");
}

TEST(TextTableTest, NotesDoNotWidenColumns) {
  TextTable table;
  table.AddRow({"a", "b"});
  table.AddNote(Cell("a long line about a"));
  EXPECT_EQ(table.Render(false), "a  b\na long line about a\n");
}

TEST(TextTableTest, ColoursTakeNoWidth) {
  TextTable table;
  table.AddRow({Cell("up", Colour::kGood), "x"});
  table.AddRow({"down", "y"});
  EXPECT_EQ(table.Render(true), "\x1b[32mup\x1b[0m    x\ndown  y\n");
}

TEST(TextTableTest, WidthCountsCharactersNotBytes) {
  TextTable table;
  table.AddRow({"\xc3\xa9t\xc3\xa9", "x"});
  table.AddRow({"abc", "y"});
  EXPECT_EQ(table.Render(false), "\xc3\xa9t\xc3\xa9  x\nabc  y\n");
}

TEST(TextTableTest, CellsCannotDriveTheTerminal) {
  TextTable table;
  table.AddRow({"a\x1b[31m"});
  EXPECT_EQ(table.Render(false), "a?[31m\n");
}

}  // namespace
}  // namespace om
