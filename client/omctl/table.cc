#include "client/omctl/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/errors.h"

namespace om {
namespace {

constexpr size_t kGap = 2;

const char* Sequence(Colour colour) {
  switch (colour) {
    case Colour::kGood:
      return "\x1b[32m";
    case Colour::kBad:
      return "\x1b[31m";
    case Colour::kWarn:
      return "\x1b[33m";
    case Colour::kDim:
      return "\x1b[2m";
    case Colour::kBold:
      return "\x1b[1m";
    case Colour::kPlain:
      break;
  }
  return "";
}

// Characters, not bytes: labels may hold any UTF-8.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string Paint(absl::string_view text, Colour colour, bool enabled) {
  if (!enabled || colour == Colour::kPlain || text.empty()) return std::string(text);
  return absl::StrCat(Sequence(colour), text, "\x1b[0m");
}

Cell::Cell(absl::string_view cell_text, Colour cell_colour)
    : text(Printable(cell_text)), colour(cell_colour) {}

void TextTable::AddRow(std::vector<Cell> cells) { rows_.push_back({false, std::move(cells)}); }

void TextTable::AddNote(Cell note) { rows_.push_back({true, {std::move(note)}}); }

std::string TextTable::Render(bool colour) const {
  std::vector<size_t> widths;
  for (const Row& row : rows_) {
    if (row.is_note) continue;
    widths.resize(std::max(widths.size(), row.cells.size()));
    for (size_t i = 0; i < row.cells.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row.cells[i].text));
    }
  }
  std::string text;
  for (const Row& row : rows_) {
    size_t missing = 0;  // Spaces owed before the next text of this line.
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const Cell& cell = row.cells[i];
      if (!cell.text.empty()) {
        text.append(missing, ' ');
        missing = 0;
        text += Paint(cell.text, cell.colour, colour);
      }
      if (!row.is_note) missing += widths[i] - Width(cell.text) + kGap;
    }
    text += '\n';
  }
  return text;
}

}  // namespace om
