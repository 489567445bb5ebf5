// The same in C++: what is opened closes itself, and failures are exceptions.
//
//     c++ -std=c++17 imagine.cpp $(pkg-config --cflags --libs feavis) -o imagine
//     ./imagine 灯塔 lighthouse.png size=128 steps=32
//
// Also says how near the picture is to some texts.
#include <feavis/critic.h>
#include <feavis/feavis.h>

#include <exception>
#include <iostream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

void must(fv_status status)
{
    if (status < 0) throw std::runtime_error(fv_error());
}

template <auto close> struct closer {
    template <class T> void operator()(T *object) const
    {
        close(object);
    }
};
using options = std::unique_ptr<fv_options, closer<fv_options_free>>;
using model = std::unique_ptr<fv_model, closer<fv_model_close>>;
using session = std::unique_ptr<fv_session, closer<fv_session_close>>;
using critic = std::unique_ptr<fv_critic, closer<fv_critic_close>>;
using text = std::unique_ptr<char, closer<fv_free>>;

// open<model>(fv_model_open, options): what that call gives, or its failure as an exception
template <class Owner, class Call, class... Arguments> Owner open(Call call, Arguments... arguments)
{
    typename Owner::pointer out = nullptr;
    must(call(&out, arguments...));
    return Owner(out);
}

struct picture : fv_picture {
    picture() : fv_picture{0, 0, nullptr}
    {
    }
    picture(const picture &) = delete;
    picture &operator=(const picture &) = delete;
    ~picture()
    {
        fv_picture_free(this);
    }
};

void run(const std::vector<std::string> &arguments)
{
    auto o = open<options>(fv_options_new);
    must(fv_options_set(o.get(), "text", arguments[0].c_str()));
    for (std::size_t i = 2; i < arguments.size(); i++) {
        const auto at = arguments[i].find('=');
        if (at == std::string::npos) throw std::invalid_argument(arguments[i] + ": OPTION=VALUE");
        must(fv_options_set(o.get(), arguments[i].substr(0, at).c_str(),
                            arguments[i].substr(at + 1).c_str()));
    }
    auto m = open<model>(fv_model_open, o.get());
    auto s = open<session>(fv_session_open, m.get(), o.get());
    must(fv_session_run(s.get(), nullptr, nullptr));

    picture made;
    must(fv_session_picture(s.get(), &made, nullptr));
    auto recipe = open<text>([&](char **out) { return fv_session_recipe(s.get(), out); });
    must(fv_picture_write(&made, arguments[1].c_str(), recipe.get()));

    std::vector<float> seen(static_cast<std::size_t>(fv_model_dim(m.get()))), said(seen.size());
    auto c = open<critic>(fv_critic_open, m.get());
    must(fv_critic_embed(c.get(), &made, seen.data()));
    for (const std::string &other :
         {arguments[0], std::string("a lighthouse"), std::string("蝴蝶")}) {
        must(fv_model_embed_text(m.get(), other.c_str(), said.data(), nullptr));
        std::cout << other << ": cosine "
                  << std::inner_product(seen.begin(), seen.end(), said.begin(), 0.0) << '\n';
    }
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 3) {
        std::cerr << "usage: " << argv[0] << " TEXT OUT.png [OPTION=VALUE ...]\n";
        return 1;
    }
    try {
        run({argv + 1, argv + argc});
    } catch (const std::exception &e) {
        std::cerr << argv[0] << ": " << e.what() << '\n';
        return 1;
    }
    return 0;
}
