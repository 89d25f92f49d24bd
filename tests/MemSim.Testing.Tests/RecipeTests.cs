using System.Text.RegularExpressions;
using Xunit;

namespace MemSim.Testing.Tests;

/// <summary>docs/testing.md shows the recipes that run here, and no other code.</summary>
public class RecipeTests
{
    [Fact]
    public void The_documented_recipes_are_those_that_run()
    {
        string document = Text("testing.md");
        string[] recipes = [.. ("Recipes.cs,RecipesForXunit.cs,RecipesForFluentAssertions.cs".Split(',')).SelectMany(Found)];
        string[] documented = [.. Regex.Matches(document, "```csharp\n(.*?)```", RegexOptions.Singleline, TimeSpan.FromSeconds(5)).Select(m => m.Groups[1].Value)];

        Assert.True(recipes.Length >= 14);
        foreach (string recipe in recipes)
        {
            Assert.Contains(recipe, documented);
        }

        Assert.Equal(recipes.Length, documented.Length);
    }

    private static IEnumerable<string> Found(string file) =>
        Regex.Matches(Text(file), "^( *)// <recipe [a-z-]+>\n(.*?)\n *// </recipe>", RegexOptions.Singleline | RegexOptions.Multiline, TimeSpan.FromSeconds(5))
            .Select(m => string.Concat(m.Groups[2].Value.TrimEnd('\n').Split('\n').Select(line => (line.Length > m.Groups[1].Length ? line[m.Groups[1].Length..] : "") + "\n")));

    private static string Text(string name) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", name)).ReplaceLineEndings("\n");
}
