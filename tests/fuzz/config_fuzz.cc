// The configuration dialect under any bytes: what parses must give its text back, edits must read
// back, and evaluation must end.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "server/config/document.h"
#include "server/config/evaluate.h"
#include "server/config/expression.h"
#include "server/config/keywords.h"
#include "server/config/settings.h"
#include "server/config/value.h"

namespace {

// Survives NDEBUG, which a corpus replay in a release build has.
void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckSame(const om::Document& document) {
  const absl::StatusOr<om::Document> again = om::Document::Parse(document.Text(), "again");
  Require(again.ok());
  Require(again->Sections() == document.Sections());
  for (const std::string& section : document.Sections()) {
    const auto left = document.Entries(section);
    const auto right = again->Entries(section);
    Require(left.size() == right.size());
    for (size_t i = 0; i < left.size(); ++i) {
      Require(left[i].key == right[i].key && left[i].text == right[i].text &&
              left[i].line == right[i].line);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  (void)om::ParseDuration(text).ok();
  (void)om::ParseSize(text).ok();
  (void)om::ParseInteger(text).ok();
  (void)om::ParseShlex(text).ok();
  (void)om::ObjectPath::Parse(text).ok();
  (void)om::EvaluateExpression(text).ok();
  (void)om::EvaluateCondition(text).ok();
  om::SelectNodes(text.substr(0, 4096), {{"n1", "n2"}, "n1", {}});

  om::DocumentLimits limits;
  limits.max_bytes = size_t{64} << 10;
  absl::StatusOr<om::Document> parsed = om::Document::Parse(text, "fuzz", limits);
  if (!parsed.ok()) return 0;
  om::Document document = *std::move(parsed);
  Require(document.Text() == text);
  om::CheckDocument(om::KeywordFile::kNode, document);
  om::CheckDocument(om::KeywordFile::kObject, document);

  om::NodeDocuments documents;
  documents.node = document;
  documents.cluster = om::Document("cluster.conf");
  (void)om::NodeSettings::Load(documents, "n1", om::Roots::Under("/r")).ok();
  om::EvaluationContext context;
  context.nodename = "n1";
  context.path = *om::ObjectPath::Parse("test/svc/web");
  context.cluster = {"c", "id", {"n1", "n2"}, {"d1"}, {}};
  (void)om::ObjectSettings::Load(document, context).ok();

  // Edits drawn from the input itself.
  const std::vector<std::string> sections = document.Sections();
  for (size_t i = 0; i < sections.size() && i < 8; ++i) {
    const absl::string_view piece = text.substr(text.size() * i / 8, 40);
    if (document.Set(sections[i], "fuzzed", piece).ok()) CheckSame(document);
    const auto entries = document.Entries(sections[i]);
    if (!entries.empty()) {
      if (document.Set(sections[i], entries[0].key, piece).ok()) CheckSame(document);
      document.Unset(sections[i], entries[entries.size() / 2].key);
      CheckSame(document);
    }
    if (i % 3 == 2) {
      document.RemoveSection(sections[i]);
      CheckSame(document);
    }
  }
  return 0;
}
