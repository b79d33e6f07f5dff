import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Properties;
import java.util.Scanner;

/**
 * PostgreSQL's JDBC driver: runs the queries that come on stdin, one a line, twice each, so that the second time comes in the driver's binary forms, and
 * prints each one's rows, as texts, as a line of JSON. Arguments: address, user, password, and `cursor` to read a million rows by cursor instead.
 */
public class Client {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", arguments[2]);
        properties.setProperty("prepareThreshold", "-1");
        try (Connection connection = DriverManager.getConnection("jdbc:postgresql://" + arguments[0], properties)) {
            if (arguments.length > 3) {
                million(connection);
                return;
            }
            Scanner lines = new Scanner(System.in, StandardCharsets.UTF_8);
            while (lines.hasNextLine()) {
                try (PreparedStatement statement = connection.prepareStatement(lines.nextLine())) {
                    rows(statement);
                    System.out.write((rows(statement) + "\n").getBytes(StandardCharsets.UTF_8));
                }
            }
            System.out.flush();
        }
    }

    private static void million(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        long count = 0;
        long sum = 0;
        try (PreparedStatement statement = connection.prepareStatement("SELECT value AS n FROM generate_series(1, 1000000) AS g(value)")) {
            statement.setFetchSize(10_000);
            try (ResultSet found = statement.executeQuery()) {
                while (found.next()) {
                    count++;
                    sum += found.getLong(1);
                }
            }
        }
        connection.commit();
        System.out.println("[" + count + ", " + sum + "]");
    }

    private static String rows(PreparedStatement statement) throws Exception {
        StringBuilder rows = new StringBuilder("[");
        try (ResultSet found = statement.executeQuery()) {
            int columns = found.getMetaData().getColumnCount();
            while (found.next()) {
                rows.append(rows.length() > 1 ? ",[" : "[");
                for (int column = 1; column <= columns; column++) {
                    rows.append(column > 1 ? "," : "").append(quoted(found.getString(column)));
                }
                rows.append("]");
            }
        }
        return rows.append("]").toString();
    }

    private static String quoted(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder quoted = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                quoted.append('\\').append(letter);
            } else if (letter < ' ') {
                quoted.append(String.format("\\u%04x", (int) letter));
            } else {
                quoted.append(letter);
            }
        }
        return quoted.append("\"").toString();
    }
}
