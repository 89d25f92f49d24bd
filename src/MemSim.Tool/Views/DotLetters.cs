using System.Globalization;

namespace MemSim.Tool.Views;

/// <summary>Letters of five by seven dots, so that a picture has words wherever it is drawn: no font of the machine is asked for.</summary>
internal static class DotLetters
{
    /// <summary>From the left of one letter to the left of the next.</summary>
    public const int Advance = 6;

    /// <summary>From the top of a letter to the lowest dot of one like g.</summary>
    public const int Height = 8;

    private const int Columns = 5;
    private const char First = ' ';

    // Two hexadecimal digits a column of dots, the lowest bit at the top; five columns a letter, from the blank to the tilde.
    private const string Dots =
        "000000000000005F00000007000700147F147F14242A7F2A12231308646236495620500008070300001C2241000041221C002A1C7F1C2A08083E08080080703000080808080800006060002010080402" +
        "3E5149453E00427F400072494949462141494D331814127F1027454545393C4A49493141211109073649494936464949291E000014000000403400000008142241141414141400412214080201590906" +
        "3E415D594E7C1211127C7F494949363E414141227F4141413E7F494949417F090909013E414151737F0808087F00417F41002040413F017F081422417F404040407F021C027F7F0408107F3E4141413E" +
        "7F090909063E4151215E7F09192946264949493203017F01033F4040403F1F2040201F3F4038403F631408146303047804036159494D43007F4141410204081020004141417F04020102044040404040" +
        "000307080020545478407F284444383844444428384444287F385454541800087E090218A4A49C787F0804047800447D40002040403D007F1028440000417F40007C047804787C080404783844444438" +
        "FC1824241818242418FC7C08040408485454542404043F44243C4040207C1C2040201C3C4030403C44281028444C9090907C4464544C440008364100000077000000413608000201020402";

    /// <summary>Draws a line of text; what lies outside the picture is left out.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="left">The left edge; of text that runs upwards, the tops of its letters.</param>
    /// <param name="top">The tops of its letters; of text that runs upwards, where it begins.</param>
    /// <param name="text">The text.</param>
    /// <param name="color">Its colour.</param>
    /// <param name="scale">Pixels a dot.</param>
    /// <param name="upwards">Whether it is turned to run upwards.</param>
    public static void Draw(PngImage image, int left, int top, string text, (byte Red, byte Green, byte Blue) color, int scale = 1, bool upwards = false)
    {
        int begin = 0;
        foreach (char letter in text)
        {
            for (int column = 0; column < Columns; column++)
            {
                int at = ((letter is >= First and <= '~' ? letter : '?') - First) * Columns + column;
                int dots = int.Parse(Dots.AsSpan(at * 2, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
                for (int row = 0; row < Height; row++)
                {
                    if ((dots >> row & 1) != 0)
                    {
                        int along = begin + (column * scale);
                        (int x, int y) = upwards ? (left + (row * scale), top - along - scale) : (left + along, top + (row * scale));
                        if (x >= 0 && y >= 0 && x + scale <= image.Width && y + scale <= image.Height)
                        {
                            image.Fill(x, y, scale, scale, color);
                        }
                    }
                }
            }

            begin += Advance * scale;
        }
    }
}
