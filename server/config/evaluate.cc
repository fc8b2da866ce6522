#include "server/config/evaluate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/base/status.h"
#include "server/config/expression.h"
#include "server/config/value.h"

namespace om {
namespace {

using MaybeText = absl::StatusOr<std::optional<std::string>>;

constexpr absl::string_view kHeadSection = "DEFAULT";

bool IsWordByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// A reference in braces is word characters, then one word character or "#", then word characters
// and
// ".[]:/". Anything else in braces is text: shell code, JSON.
bool IsReference(absl::string_view inside) {
  if (inside.empty()) return false;
  size_t i = 0;
  while (i < inside.size() && IsWordByte(inside[i])) ++i;
  if (i < inside.size() && inside[i] == '#') {
    ++i;
  } else if (i == 0) {
    return false;
  }
  for (; i < inside.size(); ++i) {
    if (!IsWordByte(inside[i]) && !absl::StrContains(".[]:/", inside.substr(i, 1))) return false;
  }
  return true;
}

// The innermost reference that starts first: its place in `text`, braces included.
std::optional<std::pair<size_t, size_t>> FindReference(absl::string_view text) {
  size_t open = absl::string_view::npos;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') {
      open = i;
    } else if (text[i] == '}' && open != absl::string_view::npos) {
      if (IsReference(text.substr(open + 1, i - open - 1))) return std::make_pair(open, i + 1);
      open = absl::string_view::npos;
    }
  }
  return std::nullopt;
}

std::string Capitalized(absl::string_view text) {
  std::string result = absl::AsciiStrToLower(text);
  if (!result.empty()) result[0] = absl::ascii_toupper(static_cast<unsigned char>(result[0]));
  return result;
}

std::string Titled(absl::string_view text) {
  std::string result = absl::AsciiStrToLower(text);
  bool start = true;
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalpha(byte)) {
      if (start) c = absl::ascii_toupper(byte);
      start = false;
    } else {
      start = true;
    }
  }
  return result;
}

std::string CaseSwapped(absl::string_view text) {
  std::string result(text);
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    c = absl::ascii_islower(byte) ? absl::ascii_toupper(byte) : absl::ascii_tolower(byte);
  }
  return result;
}

std::string FirstWord(const std::vector<std::string>& words) {
  return words.empty() ? std::string() : words.front();
}

bool Contains(const std::vector<std::string>& words, absl::string_view word) {
  return std::find(words.begin(), words.end(), std::string(word)) != words.end();
}

}  // namespace

// What one call of Get() or Expand() has used up, and which keywords it is inside of.
struct Evaluator::State {
  int depth = 0;
  int references = 0;
  std::vector<std::string> stack;              // "<section>.<key>", outermost first.
  std::set<std::string, std::less<>> scoping;  // Scope keywords being evaluated.

  bool Inside(absl::string_view param) const {
    return std::find(stack.begin(), stack.end(), std::string(param)) != stack.end();
  }
};

std::string EvaluatedValue::Where() const {
  return absl::StrCat(file, ":", line, ": ", section, ".", key);
}

std::vector<std::string> Evaluator::ScopeNodes(State* state, absl::string_view keyword) const {
  const bool object = context_->path.has_value();
  const absl::string_view section = object ? kHeadSection : absl::string_view("cluster");
  if (!object && keyword != "nodes" && keyword != "drpnodes") return {};
  // A keyword is never scoped by itself, nor by one that is being worked out: the scope is skipped.
  if (!state->scoping.insert(std::string(keyword)).second) return {};
  std::vector<std::string> nodes;
  const absl::StatusOr<std::optional<EvaluatedValue>> value =
      Evaluate(state, section, keyword, /*scopable=*/object, Inheritance::kLeaf);
  const std::string text = value.ok() && value->has_value() ? (*value)->text : "";
  if (keyword == "nodes" && object) {
    if (value.ok() && value->has_value()) {
      nodes = SelectNodes(text,
                          {context_->cluster.nodes, context_->nodename, context_->cluster.labels});
    } else if (value.ok()) {
      const absl::string_view kind = context_->path->kind();
      const bool everywhere = kind == "cfg" || kind == "sec" || kind == "usr" || kind == "ccfg";
      nodes = everywhere ? context_->cluster.nodes : std::vector<std::string>{context_->nodename};
    }
  } else {
    nodes = ParseListLower(text);
    if (keyword == "nodes" && nodes.empty()) nodes = context_->cluster.nodes;
    if (keyword == "drpnodes" && object) {
      const absl::StatusOr<std::optional<EvaluatedValue>> one =
          Evaluate(state, section, "drpnode", /*scopable=*/true, Inheritance::kLeaf);
      if (one.ok() && one->has_value()) {
        const std::string node = absl::AsciiStrToLower((*one)->text);
        if (!node.empty() && !Contains(nodes, node)) nodes.push_back(node);
      }
    }
  }
  state->scoping.erase(state->scoping.find(keyword));
  return nodes;
}

bool Evaluator::ScopeApplies(State* state, absl::string_view scope) const {
  if (scope == "nodes" || scope == "drpnodes" || scope == "encapnodes") {
    return Contains(ScopeNodes(state, scope), context_->nodename);
  }
  // flex_primary and drp_flex_primary.
  const absl::string_view list = scope == "flex_primary" ? "nodes" : "drpnodes";
  if (!state->scoping.insert(std::string(scope)).second) return false;
  std::string primary;
  const absl::StatusOr<std::optional<EvaluatedValue>> value =
      context_->path.has_value()
          ? Evaluate(state, kHeadSection, scope, /*scopable=*/false, Inheritance::kLeaf)
          : absl::StatusOr<std::optional<EvaluatedValue>>(std::nullopt);
  if (value.ok() && value->has_value()) primary = absl::AsciiStrToLower((*value)->text);
  state->scoping.erase(state->scoping.find(scope));
  if (primary.empty()) primary = FirstWord(ScopeNodes(state, list));
  return !primary.empty() && primary == context_->nodename;
}

std::optional<EvaluatedValue> Evaluator::LookupIn(State* state, absl::string_view section,
                                                  absl::string_view key, bool scopable) const {
  const auto find = [&](const std::string& spelling) -> std::optional<EvaluatedValue> {
    for (const Document* document : documents_) {
      const Document::Value* value = document->Find(section, spelling);
      if (value == nullptr) continue;
      return EvaluatedValue{value->text, document->file_name(), std::string(section), spelling,
                            value->line};
    }
    return std::nullopt;
  };
  if (scopable) {
    std::optional<EvaluatedValue> own = find(absl::StrCat(key, "@", context_->nodename));
    if (own.has_value()) return own;
    for (const char* scope :
         {"nodes", "drpnodes", "encapnodes", "flex_primary", "drp_flex_primary"}) {
      // Looked up first: working out who is in a scope costs more, and may need this very keyword.
      std::optional<EvaluatedValue> value = find(absl::StrCat(key, "@", scope));
      if (value.has_value() && ScopeApplies(state, scope)) return value;
    }
  }
  return find(std::string(key));
}

std::optional<EvaluatedValue> Evaluator::Lookup(State* state, absl::string_view section,
                                                absl::string_view key, bool scopable,
                                                Inheritance inheritance) const {
  const bool in_head = section == kHeadSection;
  std::optional<EvaluatedValue> value;
  switch (inheritance) {
    case Inheritance::kLeaf:
      return LookupIn(state, section, key, scopable);
    case Inheritance::kHead:
      return LookupIn(state, kHeadSection, key, scopable);
    case Inheritance::kLeafThenHead:
      value = LookupIn(state, section, key, scopable);
      if (!value.has_value() && !in_head) value = LookupIn(state, kHeadSection, key, scopable);
      return value;
    case Inheritance::kHeadThenLeaf:
      value = LookupIn(state, kHeadSection, key, scopable);
      if (!value.has_value() && !in_head) value = LookupIn(state, section, key, scopable);
      return value;
  }
  return value;
}

absl::StatusOr<std::optional<EvaluatedValue>> Evaluator::Evaluate(State* state,
                                                                  absl::string_view section,
                                                                  absl::string_view key,
                                                                  bool scopable,
                                                                  Inheritance inheritance) const {
  std::optional<EvaluatedValue> value = Lookup(state, section, key, scopable, inheritance);
  if (!value.has_value()) return value;
  const std::string param = absl::StrCat(value->section, ".", key);
  if (state->Inside(param)) {
    return WithField(absl::InvalidArgumentError(absl::StrCat(
                         value->Where(), ": expected a value, found a loop of references: ",
                         absl::StrJoin(state->stack, " -> "), " -> ", param)),
                     absl::StrCat(value->section, ".", value->key));
  }
  if (state->depth >= kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(value->Where(), ": expected references at most ",
                                                   kMaxDepth, " deep, found more"));
  }
  state->stack.push_back(param);
  ++state->depth;
  // The section being read stays that of the reader: {rindex} in DEFAULT is that of the resource.
  absl::StatusOr<std::optional<std::string>> text =
      ExpandText(state, value->text, section, value->Where());
  --state->depth;
  state->stack.pop_back();
  if (!text.ok()) {
    if (FieldOf(text.status()).empty()) {
      return WithField(text.status(), absl::StrCat(value->section, ".", value->key));
    }
    return text.status();
  }
  if (!text->has_value()) return std::optional<EvaluatedValue>();
  value->text = **std::move(text);
  return value;
}

absl::StatusOr<std::optional<std::string>> Evaluator::ExpandText(State* state, std::string text,
                                                                 absl::string_view section,
                                                                 absl::string_view where) const {
  const auto failed = [&](absl::string_view what) {
    return absl::InvalidArgumentError(where.empty() ? absl::StrCat("expected ", what)
                                                    : absl::StrCat(where, ": expected ", what));
  };
  while (true) {
    const auto found = FindReference(text);
    if (!found.has_value()) break;
    if (++state->references > kMaxReferences) {
      return failed(absl::StrCat("at most ", kMaxReferences, " references, found more"));
    }
    const auto [begin, end] = *found;
    ASSIGN_OR_RETURN(
        const std::optional<std::string> value,
        Reference(state, absl::string_view(text).substr(begin + 1, end - begin - 2), section));
    if (!value.has_value()) return std::optional<std::string>();
    if (text.size() + value->size() > kMaxValueBytes) {
      return failed(
          absl::StrCat("a value of at most ", kMaxValueBytes, " bytes, found a longer one"));
    }
    text.replace(begin, end - begin, *value);
  }
  // From the last to the first, so that what stands inside another is worked out before it, and
  // what an expression gives is not taken for one.
  size_t open = text.rfind("$(");
  while (open != std::string::npos) {
    const size_t close = FindClosingParenthesis(text, open + 1);
    // Without an end it is text.
    if (close != absl::string_view::npos) {
      if (++state->references > kMaxReferences) {
        return failed(absl::StrCat("at most ", kMaxReferences, " expressions, found more"));
      }
      const absl::StatusOr<std::string> value =
          EvaluateExpression(absl::string_view(text).substr(open + 2, close - open - 2));
      if (!value.ok()) {
        return where.empty() ? value.status()
                             : Annotate(value.status(), absl::StrCat(where, ": $(...)"));
      }
      text.replace(open, close + 1 - open, *value);
    }
    if (open == 0) break;
    open = text.rfind("$(", open - 1);
  }
  return std::optional<std::string>(std::move(text));
}

absl::StatusOr<std::optional<std::string>> Evaluator::Reference(State* state,
                                                                absl::string_view reference,
                                                                absl::string_view section) const {
  absl::string_view rest = reference;
  using Modifier = std::string (*)(absl::string_view);
  Modifier modifier = nullptr;
  const std::pair<absl::string_view, Modifier> modifiers[] = {
      {"upper:", [](absl::string_view text) { return absl::AsciiStrToUpper(text); }},
      {"lower:", [](absl::string_view text) { return absl::AsciiStrToLower(text); }},
      {"capitalize:", Capitalized},
      {"title:", Titled},
      {"swapcase:", CaseSwapped},
  };
  const std::string lowered = absl::AsciiStrToLower(rest);
  rest = lowered;
  for (const auto& [name, function] : modifiers) {
    if (absl::ConsumePrefix(&rest, name)) {
      modifier = function;
      break;
    }
  }
  if (absl::StartsWith(rest, "safe://")) return std::optional<std::string>();
  const bool count = absl::ConsumePrefix(&rest, "#");
  std::optional<int64_t> index;
  if (!count && absl::EndsWith(rest, "]")) {
    const size_t open = rest.rfind('[');
    int64_t number = 0;
    if (open == absl::string_view::npos ||
        !absl::SimpleAtoi(rest.substr(open + 1, rest.size() - open - 2), &number)) {
      return std::optional<std::string>();
    }
    index = number;
    rest = rest.substr(0, open);
  }
  ASSIGN_OR_RETURN(std::optional<std::string> value,
                   PlainReference(state, std::string(rest), section));
  if (!value.has_value()) {
    // Nothing has no words.
    return value;
  }
  if (count) return std::optional<std::string>(absl::StrCat(ParseList(*value).size()));
  if (index.has_value()) {
    const std::vector<std::string> words = ParseList(*value);
    const bool inside = *index >= 0 && static_cast<uint64_t>(*index) < words.size();
    value = inside ? words[static_cast<size_t>(*index)] : std::string();
  }
  if (modifier != nullptr) value = modifier(*value);
  return value;
}

absl::StatusOr<std::optional<std::string>> Evaluator::PlainReference(
    State* state, const std::string& name, absl::string_view section) const {
  using Maybe = std::optional<std::string>;
  const ClusterFacts& cluster = context_->cluster;
  const Roots& roots = context_->roots;

  if (name == "nodename") return Maybe(context_->nodename);
  if (name == "short_nodename") {
    return Maybe(context_->nodename.substr(0, context_->nodename.find('.')));
  }
  if (name == "clusterid") return Maybe(cluster.id);
  if (name == "clustername") return Maybe(cluster.name);
  if (name == "clusternodes") return Maybe(absl::StrJoin(cluster.nodes, " "));
  if (name == "clusterdrpnodes") return Maybe(absl::StrJoin(cluster.drpnodes, " "));
  if (name == "etc") return Maybe(roots.etc);
  if (name == "var") return Maybe(roots.var);
  if (name == "dnsuxsockd") return Maybe(absl::StrCat(roots.var, "/dns"));
  if (name == "dnsuxsock") return Maybe(absl::StrCat(roots.var, "/dns/pdns.sock"));
  if (name == "nodemgr") return Maybe("om node");
  if (name == "rid" || name == "rindex") {
    const size_t hash = section.find('#');
    if (hash == absl::string_view::npos) return Maybe();
    return Maybe(std::string(name == "rid" ? section : section.substr(hash + 1)));
  }
  if (context_->path.has_value()) {
    const ObjectPath& path = *context_->path;
    if (name == "namespace") return Maybe(path.ns());
    if (name == "kind") return Maybe(path.kind());
    if (name == "path" || name == "svcpath") return Maybe(path.ToString());
    if (name == "name" || name == "svcname") return Maybe(path.name());
    if (name == "short_name") return Maybe(path.name().substr(0, path.name().find('.')));
    if (name == "scaler_name") return Maybe(std::string(path.ScalerName()));
    if (name == "scaler_short_name") {
      const absl::string_view scaler = path.ScalerName();
      return Maybe(std::string(scaler.substr(0, scaler.find('.'))));
    }
    if (name == "fqdn") return Maybe(path.Fqdn(cluster.name));
    if (name == "domain") {
      return Maybe(absl::StrCat(path.ns(), ".", path.kind(), ".", cluster.name));
    }
    if (name == "private_var") {
      const bool resource = absl::StrContains(section, "#");
      return Maybe(resource ? absl::StrCat(path.StateDir(roots), "/", section)
                            : path.StateDir(roots));
    }
    if (name == "svcmgr") return Maybe(absl::StrCat("om ", path.ToString()));
  } else if (name == "private_var") {
    return Maybe(roots.NodeStateDir());
  }

  std::string key = name;
  std::string in(section);
  Inheritance inheritance = Inheritance::kLeafThenHead;
  const size_t dot = name.find('.');
  if (dot != std::string::npos) {
    in = name.substr(0, dot);
    key = name.substr(dot + 1);
    inheritance = Inheritance::kLeaf;
    if (in == "env") {
      const auto variable = context_->environment.find(absl::AsciiStrToUpper(key));
      if (variable != context_->environment.end()) return Maybe(variable->second);
    } else if (in == "node" && context_->path.has_value()) {
      const auto keyword = context_->node_keywords.find(key);
      if (keyword == context_->node_keywords.end()) return Maybe();
      return Maybe(keyword->second);
    } else if (in == "default") {
      in = std::string(kHeadSection);
    } else if (absl::StrContains(in, "#")) {
      inheritance = Inheritance::kLeafThenHead;
    }
  }
  // Lists of nodes are referred to as what they select.
  if (in == kHeadSection || dot == std::string::npos) {
    const bool list = key == "nodes" || key == "drpnodes" || key == "encapnodes";
    if (list && context_->path.has_value() &&
        !state->Inside(absl::StrCat(kHeadSection, ".", key))) {
      return Maybe(absl::StrJoin(ScopeNodes(state, key), " "));
    }
  }
  ASSIGN_OR_RETURN(std::optional<EvaluatedValue> value,
                   Evaluate(state, in, key, /*scopable=*/true, inheritance));
  if (!value.has_value()) return Maybe();
  return Maybe(std::move(value->text));
}

absl::StatusOr<std::optional<EvaluatedValue>> Evaluator::Get(absl::string_view section,
                                                             absl::string_view key, bool scopable,
                                                             Inheritance inheritance) const {
  State state;
  return Evaluate(&state, section, key, scopable, inheritance);
}

std::optional<EvaluatedValue> Evaluator::GetRaw(absl::string_view section, absl::string_view key,
                                                bool scopable, Inheritance inheritance) const {
  State state;
  return Lookup(&state, section, key, scopable, inheritance);
}

absl::StatusOr<std::optional<std::string>> Evaluator::Expand(absl::string_view text,
                                                             absl::string_view section) const {
  State state;
  return ExpandText(&state, std::string(text), section, "");
}

std::vector<std::string> Evaluator::NodesOf(absl::string_view keyword) const {
  State state;
  return ScopeNodes(&state, keyword);
}

}  // namespace om
