// A configuration file in the legacy INI dialect, editable without disturbing what is not edited.
#ifndef OM_SERVER_CONFIG_DOCUMENT_H_
#define OM_SERVER_CONFIG_DOCUMENT_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace om {

struct DocumentLimits {
  size_t max_bytes = size_t{1} << 20;
  size_t max_sections = 10'000;  // Headers, repeated ones counted each time.
  size_t max_keys = 50'000;
};

// The text of one file and an index of it.
//
// Dialect: `[section]`, `key = value` or `key: value`; keys are lower-cased, section names are not;
// lines that start with # or ; are comments, there are none after a value; a line indented deeper
// than its key continues the value, joined by a newline; repeated sections merge; of a repeated key
// the last counts. Nothing is inherited or evaluated here: DEFAULT is a section like others.
//
// A value; copies are independent. THREAD: any, as long as nobody writes.
class Document {
 public:
  struct Value {
    std::string key;  // Lower-cased, with its scope if it has one: "addr@n1".
    std::string text;
    int line = 0;  // Of the key, from 1.
  };

  // An empty document, for a file that does not exist (yet).
  explicit Document(absl::string_view file_name = "") : file_name_(file_name) {}

  // INVALID_ARGUMENT "<file>:<line>: expected ..." for malformed text (never showing the line
  // itself, which may hold a secret); RESOURCE_EXHAUSTED past a limit. `file_name` is for messages
  // only.
  static absl::StatusOr<Document> Parse(absl::string_view text, absl::string_view file_name,
                                        const DocumentLimits& limits = DocumentLimits());

  const std::string& file_name() const { return file_name_; }
  // What was parsed, byte for byte, with the edits made since.
  std::string Text() const;

  // Names in order of first appearance.
  const std::vector<std::string>& Sections() const { return section_order_; }
  bool HasSection(absl::string_view section) const;
  // Line of the section's first header, 0 if there is none.
  int SectionLine(absl::string_view section) const;
  // The values that count, in order of their lines. Empty for an unknown section.
  std::vector<Value> Entries(absl::string_view section) const;
  // nullptr if there is none. `key` is taken as written: callers lower-case. Valid until the next
  // edit.
  const Value* Find(absl::string_view section, absl::string_view key) const;

  // Gives `key` a value: where the key stands, else after the last key of the section, else in a
  // new section at the end. Comments, order, blank lines, and the spelling of everything else stay.
  // Lines of a value are kept without the white space around them, as reading gives them.
  // INVALID_ARGUMENT, and no change, for what the dialect cannot hold: NUL, a later line of the
  // value that would read as a comment, a section with "]", a key with "=" or ":" ...
  absl::Status Set(absl::string_view section, absl::string_view key, absl::string_view value);
  // Removes all lines of the key. False if there was none.
  bool Unset(absl::string_view section, absl::string_view key);
  // Removes all parts of the section, except a comment block that stands right above the next
  // header. False if there was none.
  bool RemoveSection(absl::string_view section);

 private:
  enum class ItemKind { kBlank, kComment, kHeader, kEntry };
  // A header or comment is one line; an entry has its continuation lines, and what stands between
  // them, in `raw`. Line ends are part of `raw`.
  struct Item {
    ItemKind kind = ItemKind::kBlank;
    std::string raw;
    int lines = 1;
    size_t indent = 0;
    std::string section;  // kHeader, kEntry.
    std::string key;      // kEntry.
    std::string value;    // kEntry.
  };
  struct Section {
    int line = 0;
    std::map<std::string, Value, std::less<>> values;
  };

  absl::Status ParseItems(absl::string_view text, const DocumentLimits& limits);
  void Reindex();
  // Comment lines that stand inside an entry, as items of their own.
  static std::vector<Item> InnerComments(const Item& entry);
  // Nothing may read as the continuation of a line that an edit put above it.
  void RepairIndents();
  std::string LineEnd() const;

  std::string file_name_;
  std::string head_;  // A byte order mark, or nothing.
  std::vector<Item> items_;
  std::vector<std::string> section_order_;
  std::map<std::string, Section, std::less<>> sections_;
};

}  // namespace om

#endif  // OM_SERVER_CONFIG_DOCUMENT_H_
