#include "client/omctl/new_objects.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/errors.h"
#include "client/object_path.h"
#include "server/base/json.h"
#include "server/base/status.h"

namespace om {
namespace {

using control::v1::NewKeyword;
using control::v1::NewObject;

size_t IndentOf(absl::string_view line) {
  return line.size() - absl::StripLeadingAsciiWhitespace(line).size();
}

absl::StatusOr<NewObject> ParseFile(absl::string_view text, absl::string_view path,
                                    absl::string_view file_name) {
  NewObject object;
  object.set_path(std::string(path));
  std::string section;
  NewKeyword* keyword = nullptr;
  size_t indent = 0;
  int number = 0;
  const auto expected = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ":", number, ": expected ", what));
  };
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripTrailingAsciiWhitespace(line);
    const absl::string_view content = absl::StripLeadingAsciiWhitespace(line);
    if (content.empty() || content.front() == '#' || content.front() == ';') continue;
    if (keyword != nullptr && IndentOf(line) > indent) {
      absl::StrAppend(keyword->mutable_value(), "\n", content);
      continue;
    }
    keyword = nullptr;
    if (content.front() == '[') {
      if (content.back() != ']') return expected("']' at the end of the section's line");
      section = std::string(content.substr(1, content.size() - 2));
      if (section.empty()) return expected("a section's name between '[' and ']'");
      continue;
    }
    const size_t sign = content.find_first_of("=:");
    if (section.empty()) return expected("[section] before the first keyword");
    if (sign == absl::string_view::npos || sign == 0) return expected("keyword = value");
    keyword = object.add_keywords();
    indent = IndentOf(line);
    keyword->set_section(section);
    keyword->set_name(std::string(absl::StripTrailingAsciiWhitespace(content.substr(0, sign))));
    keyword->set_value(std::string(absl::StripLeadingAsciiWhitespace(content.substr(sign + 1))));
  }
  return object;
}

absl::StatusOr<std::string> ValueText(const Json& value, absl::string_view place) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return DumpCompactJson(value);
  return absl::InvalidArgumentError(
      absl::StrCat(place, " is ", value.type_name(), ", expected a text, a number or a boolean"));
}

absl::StatusOr<NewObject> ParseSections(const Json& sections, absl::string_view path,
                                        absl::string_view file_name) {
  NewObject object;
  object.set_path(std::string(path));
  const std::string about = absl::StrCat(file_name, ": ", path);
  if (!sections.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(about, " is ", sections.type_name(), ", expected {section: {...}}"));
  }
  for (const auto& [section, keywords] : sections.items()) {
    const std::string place = absl::StrCat(about, ", section '", Printable(section), "'");
    if (!keywords.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(place, " is ", keywords.type_name(), ", expected {keyword: value}"));
    }
    for (const auto& [name, value] : keywords.items()) {
      ASSIGN_OR_RETURN(std::string text,
                       ValueText(value, absl::StrCat(place, ", '", Printable(name), "'")));
      NewKeyword* keyword = object.add_keywords();
      keyword->set_section(section);
      keyword->set_name(name);
      keyword->set_value(std::move(text));
    }
  }
  return object;
}

// Whether it has sections, and not objects, on top: then values are found two levels down.
bool HasSectionsOnTop(const Json& document) {
  for (const auto& [name, keywords] : document.items()) {
    if (!keywords.is_object()) continue;
    for (const auto& [keyword, value] : keywords.items()) return !value.is_object();
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<NewObject>> ParseNewObjects(absl::string_view text,
                                                       absl::string_view path,
                                                       absl::string_view file_name) {
  std::vector<NewObject> objects;
  if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{")) {
    if (path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_name,
                       ": expected JSON, {path: {section: {keyword: value}}}; a file of "
                       "[section] and keyword = value is for one object: omctl <svc> create"));
    }
    ASSIGN_OR_RETURN(NewObject object, ParseFile(text, path, file_name));
    objects.push_back(std::move(object));
    return objects;
  }
  const absl::StatusOr<Json> document = ParseJson(std::string(text));
  if (!document.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, " is no JSON: ", document.status().message()));
  }
  if (!path.empty() && HasSectionsOnTop(*document)) {
    ASSIGN_OR_RETURN(NewObject object, ParseSections(*document, path, file_name));
    objects.push_back(std::move(object));
    return objects;
  }
  for (const auto& [name, sections] : document->items()) {
    // Names of the namespace that the request names are not canonical yet.
    ASSIGN_OR_RETURN(NewObject object, ParseSections(sections, name, file_name));
    if (!path.empty()) {
      const absl::StatusOr<std::string> canonical = CanonicalObjectPath(name);
      if (!canonical.ok() || *canonical != path) {
        return absl::InvalidArgumentError(
            absl::StrCat(file_name, ": object '", Printable(name), "' is not ", path,
                         ", the one to be created; 'omctl create' takes several"));
      }
    }
    objects.push_back(std::move(object));
  }
  if (objects.empty()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": no object"));
  return objects;
}

}  // namespace om
