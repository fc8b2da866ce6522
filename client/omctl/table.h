// Text tables with aligned columns.
#ifndef OM_CLIENT_OMCTL_TABLE_H_
#define OM_CLIENT_OMCTL_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace om {

enum class Colour { kPlain, kGood, kBad, kWarn, kDim, kBold };

// `text` in `colour`, or plain if `enabled` is false.
std::string Paint(absl::string_view text, Colour colour, bool enabled);

// One cell. What is not printable is replaced.
struct Cell {
  Cell() : Cell(absl::string_view()) {}
  // Not explicit: rows are written as lists of texts.
  Cell(absl::string_view cell_text, Colour cell_colour = Colour::kPlain);     // NOLINT
  Cell(const char* cell_text) : Cell(absl::string_view(cell_text)) {}         // NOLINT
  Cell(const std::string& cell_text) : Cell(absl::string_view(cell_text)) {}  // NOLINT

  std::string text;
  Colour colour;
};

// Rows of cells, each column as wide as its widest cell; the gap is two spaces, no line ends in
// spaces.
class TextTable {
 public:
  void AddRow(std::vector<Cell> cells);
  // A line of its own, which does not widen columns.
  void AddNote(Cell note);
  std::string Render(bool colour) const;

 private:
  struct Row {
    bool is_note = false;
    std::vector<Cell> cells;
  };
  std::vector<Row> rows_;
};

}  // namespace om

#endif  // OM_CLIENT_OMCTL_TABLE_H_
