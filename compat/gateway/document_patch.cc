#include "compat/gateway/document_patch.h"

#include <algorithm>
#include <string>
#include <utility>

namespace om {
namespace {

template <class Key>
Json With(const Json& path, const Key& key) {
  Json longer = path;
  longer.push_back(key);
  return longer;
}

bool CompareDeeper(const Json& from, const Json& to) {
  return ((from.is_object() && to.is_object()) || (from.is_array() && to.is_array())) &&
         !from.empty() && !to.empty();
}

}  // namespace

void AppendPatch(const Json& path, const Json& from, const Json& to, Json* stanzas) {
  // 1 and 1.0 are the same to a reader; true and 1 are not, and compare unequal here as well.
  if (from == to) return;
  if (!CompareDeeper(from, to)) {
    stanzas->push_back(Json::array({path, to}));
    return;
  }
  if (from.is_object()) {
    for (const auto& [key, value] : from.items()) {
      if (!to.contains(key)) stanzas->push_back(Json::array({With(path, key)}));
    }
    for (const auto& [key, value] : to.items()) {
      const auto old = from.find(key);
      if (old == from.end()) {
        stanzas->push_back(Json::array({With(path, key), value}));
      } else {
        AppendPatch(With(path, key), *old, value, stanzas);
      }
    }
    return;
  }
  const size_t common = std::min(from.size(), to.size());
  for (size_t i = 0; i < common; ++i) AppendPatch(With(path, i), from[i], to[i], stanzas);
  for (size_t i = common; i < to.size(); ++i) {
    stanzas->push_back(Json::array({With(path, i), to[i]}));
  }
  for (size_t i = from.size(); i > common; --i) {
    stanzas->push_back(Json::array({With(path, i - 1)}));
  }
}

Json ApplyPatch(Json document, const Json& stanzas) {
  for (const Json& stanza : stanzas) {
    Json* place = &document;
    const Json& path = stanza[0];
    if (path.empty() && stanza.size() > 1) document = stanza[1];
    for (size_t depth = 0; depth < path.size() && place != nullptr; ++depth) {
      const bool last = depth + 1 == path.size();
      const Json& key = path[depth];
      if (key.is_string() && place->is_object()) {
        const std::string name = key.get<std::string>();
        if (last && stanza.size() == 1) {
          place->erase(name);
        } else if (last) {
          (*place)[name] = stanza[1];
        } else {
          const auto found = place->find(name);
          place = found == place->end() ? nullptr : &*found;
        }
        continue;
      }
      if (!key.is_number_unsigned() && !key.is_number_integer()) break;
      if (!place->is_array()) break;
      const size_t index = key.get<size_t>();
      if (last && stanza.size() == 1) {
        if (index < place->size()) place->erase(index);
      } else if (last && index == place->size()) {
        place->push_back(stanza[1]);
      } else if (index >= place->size()) {
        break;
      } else if (last) {
        (*place)[index] = stanza[1];
      } else {
        place = &(*place)[index];
      }
    }
  }
  return document;
}

}  // namespace om
