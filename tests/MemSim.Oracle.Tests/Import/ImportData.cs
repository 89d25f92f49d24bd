using MemSim.Captures;

namespace MemSim.Oracle.Tests.Import;

/// <summary>The recorded files that the tests of the readers use.</summary>
internal static class ImportData
{
    public static string PathOf(params string[] parts) => Path.Combine([AppContext.BaseDirectory, "Data", "import", .. parts]);

    public static string[] Lines(string path)
    {
        using StreamReader text = InputFile.OpenText(path);
        return text.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
