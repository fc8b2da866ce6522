#include "server/config/document.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace om {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

absl::string_view Stripped(absl::string_view text) { return absl::StripAsciiWhitespace(text); }

bool IsCommentText(absl::string_view stripped) {
  return !stripped.empty() && (stripped.front() == '#' || stripped.front() == ';');
}

size_t IndentOf(absl::string_view line) {
  size_t indent = 0;
  while (indent < line.size() && absl::ascii_isspace(static_cast<unsigned char>(line[indent]))) {
    ++indent;
  }
  return indent;
}

// Length of the UTF-8 sequence at the front of `text`, 0 if it is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

// What no line may hold, or an empty text.
absl::string_view BadCharacter(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\0') return "a NUL byte";
    if (text[i] == '\r') return "a carriage return inside a line";
    const size_t length = Utf8Length(text.substr(i));
    if (length == 0) return "bytes that are not UTF-8";
    i += length;
  }
  return {};
}

absl::string_view WithoutLineEnd(absl::string_view line) {
  if (absl::ConsumeSuffix(&line, "\n")) absl::ConsumeSuffix(&line, "\r");
  return line;
}

// Lines with their ends; the last may have none.
std::vector<absl::string_view> LinesOf(absl::string_view text) {
  std::vector<absl::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t size = end == absl::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

// Lines stripped, empty ones at the end dropped: the form in which reading gives a value.
std::vector<std::string> NormalLines(absl::string_view value) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(value, '\n')) {
    lines.emplace_back(Stripped(line));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace

absl::StatusOr<Document> Document::Parse(absl::string_view text, absl::string_view file_name,
                                         const DocumentLimits& limits) {
  Document document(file_name);
  absl::Status status = document.ParseItems(text, limits);
  if (!status.ok()) return status;
  return document;
}

absl::Status Document::ParseItems(absl::string_view text, const DocumentLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        file_name_, " has ", text.size(), " bytes, more than the limit of ", limits.max_bytes));
  }
  if (absl::ConsumePrefix(&text, kByteOrderMark)) head_ = std::string(kByteOrderMark);

  int line_number = 0;
  size_t sections = 0;
  size_t keys = 0;
  bool in_section = false;
  std::string section;
  size_t indent = 0;  // Of the last header or key: a deeper line continues the key's value.
  // The entry that a deeper line would continue, and what has been seen since its last line: empty
  // lines inside a value count, comments do not.
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t open_entry = kNone;

  const auto malformed = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(file_name_, ":", line_number, ": ", what));
  };

  for (const absl::string_view line : LinesOf(text)) {
    ++line_number;
    const absl::string_view body = WithoutLineEnd(line);
    const absl::string_view bad = BadCharacter(body);
    if (!bad.empty()) return malformed(absl::StrCat("expected text, found ", bad));
    const absl::string_view stripped = Stripped(body);

    Item item;
    item.raw = std::string(line);
    if (stripped.empty() || IsCommentText(stripped)) {
      item.kind = stripped.empty() ? ItemKind::kBlank : ItemKind::kComment;
      items_.push_back(std::move(item));
      continue;
    }
    item.indent = IndentOf(body);

    if (open_entry != kNone && item.indent > indent) {
      Item& entry = items_[open_entry];
      for (size_t i = open_entry + 1; i < items_.size(); ++i) {
        if (items_[i].kind == ItemKind::kBlank) entry.value += '\n';
        entry.raw += items_[i].raw;
        ++entry.lines;
      }
      items_.resize(open_entry + 1);
      absl::StrAppend(&entry.value, "\n", stripped);
      absl::StrAppend(&entry.raw, line);
      ++entry.lines;
      continue;
    }

    indent = item.indent;
    if (stripped.front() == '[') {
      const size_t close = stripped.find(']');
      if (close == absl::string_view::npos) return malformed("expected \"]\" after \"[section\"");
      if (close == 1) return malformed("expected a section name between \"[\" and \"]\"");
      const absl::string_view rest = Stripped(stripped.substr(close + 1));
      if (!rest.empty() && !IsCommentText(rest)) {
        return malformed("expected nothing after \"[section]\"");
      }
      if (++sections > limits.max_sections) {
        return absl::ResourceExhaustedError(absl::StrCat(file_name_, ":", line_number,
                                                         ": more than the limit of ",
                                                         limits.max_sections, " sections"));
      }
      in_section = true;
      section = std::string(stripped.substr(1, close - 1));
      item.kind = ItemKind::kHeader;
      item.section = section;
      open_entry = kNone;
      items_.push_back(std::move(item));
      continue;
    }

    const size_t delimiter = stripped.find_first_of("=:");
    if (delimiter == absl::string_view::npos) {
      return malformed(
          "expected \"key = value\", \"key: value\", \"[section]\" or a comment, found a line "
          "without "
          "\"=\" or \":\"");
    }
    const absl::string_view key = Stripped(stripped.substr(0, delimiter));
    if (key.empty()) return malformed("expected a key before the \"=\" or \":\"");
    if (!in_section) return malformed("expected a \"[section]\" line before the first key");
    if (++keys > limits.max_keys) {
      return absl::ResourceExhaustedError(absl::StrCat(
          file_name_, ":", line_number, ": more than the limit of ", limits.max_keys, " keys"));
    }
    item.kind = ItemKind::kEntry;
    item.section = section;
    item.key = absl::AsciiStrToLower(key);
    item.value = std::string(Stripped(stripped.substr(delimiter + 1)));
    open_entry = items_.size();
    items_.push_back(std::move(item));
  }
  Reindex();
  return absl::OkStatus();
}

void Document::Reindex() {
  section_order_.clear();
  sections_.clear();
  int line = 1;
  Section* current = nullptr;
  for (const Item& item : items_) {
    if (item.kind == ItemKind::kHeader) {
      auto [it, inserted] = sections_.try_emplace(item.section);
      if (inserted) {
        section_order_.push_back(item.section);
        it->second.line = line;
      }
      current = &it->second;
    } else if (item.kind == ItemKind::kEntry && current != nullptr) {  // Always after a header.
      current->values[item.key] = Value{item.key, item.value, line};
    }
    line += item.lines;
  }
}

std::string Document::Text() const {
  std::string text = head_;
  for (const Item& item : items_) text += item.raw;
  return text;
}

bool Document::HasSection(absl::string_view section) const {
  return sections_.find(section) != sections_.end();
}

int Document::SectionLine(absl::string_view section) const {
  const auto it = sections_.find(section);
  return it == sections_.end() ? 0 : it->second.line;
}

std::vector<Document::Value> Document::Entries(absl::string_view section) const {
  std::vector<Value> entries;
  const auto it = sections_.find(section);
  if (it == sections_.end()) return entries;
  for (const auto& [key, value] : it->second.values) entries.push_back(value);
  std::sort(entries.begin(), entries.end(),
            [](const Value& a, const Value& b) { return a.line < b.line; });
  return entries;
}

const Document::Value* Document::Find(absl::string_view section, absl::string_view key) const {
  const auto it = sections_.find(section);
  if (it == sections_.end()) return nullptr;
  const auto value = it->second.values.find(key);
  return value == it->second.values.end() ? nullptr : &value->second;
}

std::string Document::LineEnd() const {
  for (const Item& item : items_) {
    const size_t end = item.raw.find('\n');
    if (end != std::string::npos) return end > 0 && item.raw[end - 1] == '\r' ? "\r\n" : "\n";
  }
  return "\n";
}

std::vector<Document::Item> Document::InnerComments(const Item& entry) {
  std::vector<Item> comments;
  bool first = true;
  for (const absl::string_view line : LinesOf(entry.raw)) {
    if (!first && IsCommentText(Stripped(line))) {
      Item item;
      item.kind = ItemKind::kComment;
      item.raw = std::string(line);
      comments.push_back(std::move(item));
    }
    first = false;
  }
  return comments;
}

absl::Status Document::Set(absl::string_view section, absl::string_view key_text,
                           absl::string_view value) {
  const std::string key = absl::AsciiStrToLower(key_text);
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name_, ": cannot set a key of section \"", section, "\": ", why));
  };
  if (section.empty() || section.find_first_of("]\n") != absl::string_view::npos ||
      !BadCharacter(section).empty()) {
    return refuse("a section name is not empty and holds no \"]\" or control character");
  }
  if (key.empty() || Stripped(key) != key || key.find_first_of("=:\n") != std::string::npos ||
      !BadCharacter(key).empty() || key.front() == '[' || IsCommentText(key)) {
    return refuse(
        "a key is not empty, does not start with \"[\", \"#\" or \";\", and holds no \"=\", \":\" "
        "or "
        "control character");
  }
  const std::vector<std::string> lines = NormalLines(value);
  for (size_t i = 0; i < lines.size(); ++i) {
    const absl::string_view bad = BadCharacter(lines[i]);
    if (!bad.empty()) return refuse(absl::StrCat("the value of \"", key, "\" holds ", bad));
    if (i > 0 && IsCommentText(lines[i])) {
      return refuse(absl::StrCat("a line of the value of \"", key,
                                 "\" starts with \"#\" or \";\" and would read as a comment"));
    }
  }

  // Where: the last line of the key, which is the one that counts, else after the section's last
  // key.
  size_t same = items_.size();
  size_t last_entry = items_.size();
  size_t last_header = items_.size();
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].section != section) continue;
    if (items_[i].kind == ItemKind::kHeader) last_header = i;
    if (items_[i].kind != ItemKind::kEntry) continue;
    last_entry = i;
    if (items_[i].key == key) same = i;
  }

  const std::string normal = absl::StrJoin(lines, "\n");
  const std::string end = LineEnd();
  Item item;
  item.kind = ItemKind::kEntry;
  item.section = std::string(section);
  item.key = key;
  item.value = normal;
  std::string prefix = absl::StrCat(key, " =");
  bool tight = false;

  if (same < items_.size()) {
    const Item& old = items_[same];
    if (old.value == normal) return absl::OkStatus();
    item.indent = old.indent;
    // "Key  : " stays as it was written.
    const absl::string_view first_line = WithoutLineEnd(LinesOf(old.raw).front());
    size_t after = first_line.find_first_of("=:") + 1;
    while (after < first_line.size() &&
           absl::ascii_isspace(static_cast<unsigned char>(first_line[after]))) {
      ++after;
    }
    prefix = std::string(first_line.substr(0, after));
    // "key=value" was written so; "key =" without a value was not.
    tight = after < first_line.size();
  } else if (last_entry < items_.size() && last_entry > last_header) {
    item.indent = items_[last_entry].indent;
    prefix.insert(0, item.indent, ' ');
  } else if (last_header < items_.size()) {
    // The section's last part has no key yet. What follows must not read as our continuation.
    for (size_t i = last_header + 1; i < items_.size(); ++i) {
      if (items_[i].kind != ItemKind::kHeader) continue;
      item.indent = items_[i].indent;
      break;
    }
    prefix.insert(0, item.indent, ' ');
  }

  item.raw = prefix;
  if (!lines.empty()) {
    const bool spaced = tight || absl::ascii_isspace(static_cast<unsigned char>(prefix.back()));
    if (!lines[0].empty() && !spaced) item.raw += ' ';
    item.raw += lines[0];
  }
  for (size_t i = 1; i < lines.size(); ++i) {
    item.raw += end;
    if (!lines[i].empty())
      absl::StrAppend(&item.raw, std::string(item.indent, ' '), "  ", lines[i]);
  }
  item.lines = std::max(1, static_cast<int>(lines.size()));

  if (same < items_.size()) {
    if (absl::EndsWith(items_[same].raw, "\n")) item.raw += end;
    std::vector<Item> comments = InnerComments(items_[same]);
    if (!comments.empty() && !absl::EndsWith(item.raw, "\n")) item.raw += end;
    items_[same] = std::move(item);
    items_.insert(items_.begin() + static_cast<std::ptrdiff_t>(same) + 1, comments.begin(),
                  comments.end());
  } else {
    item.raw += end;
    // A last line without an end gets one, or the new line would be glued to it.
    const auto close_line = [&](size_t i) {
      if (!absl::EndsWith(items_[i].raw, "\n")) items_[i].raw += end;
    };
    size_t at = 0;
    if (last_header < items_.size()) {
      at = (last_entry < items_.size() && last_entry > last_header ? last_entry : last_header) + 1;
      close_line(at - 1);
    } else {
      if (!items_.empty()) {
        close_line(items_.size() - 1);
        if (items_.back().kind != ItemKind::kBlank) {
          Item blank;
          blank.raw = end;
          items_.push_back(std::move(blank));
        }
      }
      Item header;
      header.kind = ItemKind::kHeader;
      header.section = std::string(section);
      header.raw = absl::StrCat("[", section, "]", end);
      items_.push_back(std::move(header));
      at = items_.size();
    }
    items_.insert(items_.begin() + static_cast<std::ptrdiff_t>(at), std::move(item));
  }
  RepairIndents();
  Reindex();
  return absl::OkStatus();
}

bool Document::Unset(absl::string_view section, absl::string_view key_text) {
  const std::string key = absl::AsciiStrToLower(key_text);
  std::vector<Item> kept;
  kept.reserve(items_.size());
  bool found = false;
  for (Item& item : items_) {
    if (item.kind == ItemKind::kEntry && item.section == section && item.key == key) {
      found = true;
      for (Item& comment : InnerComments(item)) kept.push_back(std::move(comment));
    } else {
      kept.push_back(std::move(item));
    }
  }
  items_ = std::move(kept);
  if (found) {
    RepairIndents();
    Reindex();
  }
  return found;
}

bool Document::RemoveSection(absl::string_view section) {
  if (!HasSection(section)) return false;
  std::vector<Item> kept;
  kept.reserve(items_.size());
  std::vector<Item> trailing;  // Comments that may belong to the next header.
  bool inside = false;
  for (Item& item : items_) {
    if (item.kind == ItemKind::kHeader) {
      const bool same = item.section == section;
      if (inside && !same) {
        for (Item& comment : trailing) kept.push_back(std::move(comment));
      }
      trailing.clear();
      inside = same;
    }
    if (!inside) {
      kept.push_back(std::move(item));
    } else if (item.kind == ItemKind::kComment) {
      trailing.push_back(std::move(item));
    } else {
      trailing.clear();
    }
  }
  items_ = std::move(kept);
  RepairIndents();
  Reindex();
  return true;
}

void Document::RepairIndents() {
  const Item* open_entry = nullptr;
  for (Item& item : items_) {
    if (item.kind != ItemKind::kEntry && item.kind != ItemKind::kHeader) continue;
    if (open_entry != nullptr && item.indent > open_entry->indent) {
      item.raw.erase(0, item.indent - open_entry->indent);
      item.indent = open_entry->indent;
    }
    open_entry = item.kind == ItemKind::kEntry ? &item : nullptr;
  }
}

}  // namespace om
